"""The page: its files, what they may load and call, its colours, and itself in a browser."""

import ast
import json
import re
import shlex
from importlib.resources import files

import pytest

from tests.serve.browser import CHROMIUM, Browser
from tests.serve.conftest import GENERAL, VECTORS
from tests.serve.processes import serving

PAGE = files("litebert.serve").joinpath("page")
NAMES = ("index.html", "style.css", "script.js", "calls.js", "tasks.js", "results.js", "icon.svg")


def _text(name):
    return PAGE.joinpath(name).read_text(encoding="utf-8")


# --- Files ----------------------------------------------------------------------------------------------------------------


def test_the_page_may_load_and_call_nothing_but_its_server(client):
    answer = client.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == "'none'"
    assert {policy[name] for name in ("script-src", "style-src", "connect-src", "img-src")} == {"'self'"}
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("name", NAMES)
def test_every_file_is_served_and_kept_until_it_changes(client, name):
    answer = client.get(f"/page/{name}")
    assert (answer.status_code, answer.text) == (200, _text(name))
    assert answer.headers["cache-control"] == "no-cache"
    again = client.get(f"/page/{name}", headers={"if-none-match": f'"other", W/{answer.headers["etag"]}'})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get(f"/page/{name}", headers={"if-none-match": '"other"'}).status_code == 200
    head = client.head(f"/page/{name}")
    assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", answer.headers["etag"])


def test_there_are_no_other_files(client):
    assert {file.name for file in PAGE.iterdir()} == set(NAMES)
    assert client.get("/page/__init__.py").status_code == 404
    assert client.get("/page/..%2fapp.py").status_code == 404
    assert client.get("/favicon.ico").headers["content-type"] == "image/svg+xml"


def test_the_page_can_be_left_out(make_client):
    client = make_client(page=False)
    assert client.get("/").status_code in (404, 405)
    assert client.get("/page/style.css").status_code == 404
    assert client.post("/", json={"inputs": "a"}).status_code == 200


def test_the_page_needs_no_key_and_what_it_asks_does(make_client):
    client = make_client(api_keys=("secret",))
    assert client.get("/").status_code == 200
    assert client.get("/page/script.js").status_code == 200
    assert client.get("/litebert/v1/models").status_code == 401


@pytest.mark.parametrize("name", NAMES)
def test_no_file_names_another_server(name):
    addresses = set(
        re.findall(r"(?:https?:)?//[\w.-]+\.[a-z]{2,}[^\s\"']*", re.sub(r"(?m)(^|\s)//.*$", "", _text(name)))
    )
    assert addresses <= {"http://www.w3.org/2000/svg"}  # the name of a format, which nobody asks for


def test_nothing_is_inline_that_the_policy_would_not_run():
    html = _text("index.html")
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:|<script(?![^>]*\ssrc=)", html)
    for name in NAMES[2:6]:
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", _text(name)
        ), name


def test_what_the_files_name_is_there(client):
    html, scripts = _text("index.html"), "".join(map(_text, NAMES[2:6]))
    assert set(re.findall(r'(?:src|href)="(page/[^"]+)"', html)) == {
        "page/icon.svg",
        "page/style.css",
        "page/script.js",
    }
    assert set(re.findall(r'from "\./([^"]+)"', scripts)) <= set(NAMES)
    known = set(re.findall(r'id="([^"]+)"', html)) | {"field-text"}
    assert set(re.findall(r'\$\("([^"]+)"\)', scripts)) <= known


def test_every_route_the_page_calls_is_documented(client):
    tasks = _text("tasks.js")
    base = re.search(r'BASE = "([^"]+)"', tasks)[1]
    called = {f"/{base}{name}" for name in re.findall(r"\$\{BASE\}(\w+)", tasks)}
    called |= {f"/{path}" for path in re.findall(r'path: "([^"]+)"', tasks)}
    documented = {path for path, item in client.get("/openapi.json").json()["paths"].items() if "post" in item}
    assert called >= {"/litebert/v1/ask", "/litebert/v1/chat", "/litebert/v1/search", "/litebert/v1/explain", "/rerank"}
    assert called <= documented


def test_every_task_has_its_form():
    from litebert.tasks.registry import TASKS, ZERO_SHOT

    shown = set(re.findall(r'(?m)^  "?([a-z-]+)"?: (?:\{|labelled)', _text("tasks.js")))
    assert shown == {*TASKS, *ZERO_SHOT}


# --- Colours --------------------------------------------------------------------------------------------------------------


def _colours(theme):
    found = dict(re.findall(r"(?m)^  --([\w-]+): light-dark\(([^)]+)\);", _text("style.css")))
    return {name: pair.split(", ")[theme] for name, pair in found.items()}


def _light(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def _contrast(one, other):
    low, high = sorted((_light(one), _light(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_contrast_is_enough_to_read(theme):
    """WCAG 2.2, AA: 4.5 for text, 3 for the edges of what is typed into."""
    colours = _colours(theme)
    for name in ("ink", "soft", "pen", "against"):
        for behind in ("paper", "sheet", "sunk"):
            assert _contrast(colours[name], colours[behind]) >= 4.5, (name, behind)
    for name, behind in (("on-pen", "pen"), ("ink", "wash"), ("ink", "mark"), ("ink", "against-wash")):
        assert _contrast(colours[name], colours[behind]) >= 4.5, (name, behind)
    assert _contrast(colours["edge"], colours["sheet"]) >= 3
    hues = re.findall(r"\.hue\d \{ background: light-dark\(([^)]+)\)", _text("style.css"))
    assert len(hues) == 6
    assert all(_contrast(colours["ink"], pair.split(", ")[theme]) >= 4.5 for pair in hues)


# --- In a browser ---------------------------------------------------------------------------------------------------------

RUN = "document.getElementById('run').click()"
SAID = "document.getElementById('result').innerText"


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A server with a key."""
    pytest.importorskip("lancedb")
    faq = tmp_path_factory.mktemp("faq") / "faq.csv"
    faq.write_text(
        "question,answer\nWhen do you open?,At ten.\nWhere can I park?,Below the square.\nMay I bring a dog?,No.\n"
    )
    models = (GENERAL, VECTORS, "--faq", str(faq))
    # it is killed, and leaves behind what it has in the folder for temporary files
    environment = {"LITEBERT_API_KEY": "secret", "TMPDIR": str(faq.parent)}
    with serving(*models, "--log", "off", environment=environment) as (_, found):
        yield found


@pytest.fixture
def browser(tmp_path):
    """A browser."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium here")
    found = Browser(tmp_path / "profile", patience=90.0)
    yield found
    found.close()


def _typed(browser, field, text):
    browser.evaluate(
        f"(() => {{ const box = document.getElementById('field-{field}'); box.value = {json.dumps(text)};"
        " box.dispatchEvent(new Event('input')); })()"
    )


def test_in_a_browser(address, browser):
    browser.open(f"{address}/#/{GENERAL}/fill-mask")
    browser.wait("document.getElementById('key-dialog')?.open")
    browser.evaluate(
        "document.getElementById('key').value = 'secret'; document.querySelector('#key-form .run').click()"
    )
    browser.wait("!document.getElementById('sheet').hidden")
    assert browser.evaluate("[sessionStorage.getItem('litebert-key'), localStorage.length, document.cookie]") == [
        "secret",
        0,
        "",
    ]

    _typed(browser, "text", 'The "king" and the [MASK] 😀 aren\'t here.')
    browser.evaluate(RUN)
    browser.wait("document.querySelectorAll('.bars li').length === 8")
    browser.wait("/\\d+ tokens · \\d+ ms/.test(document.getElementById('measure').textContent)")

    snippets = browser.evaluate("""import('/page/calls.js').then(({ LANGUAGES }) => {
        const body = { text: 'it\\'s "so" \\\\ 😀', yes: true, none: null, list: [], deep: [{ one: 1.5 }] };
        return [JSON.stringify(body), LANGUAGES.curl('rerank', body), LANGUAGES.Python('rerank', body)]; })""")
    body = json.loads(snippets[0])
    words = shlex.split(snippets[1])
    assert (words[1], json.loads(words[-1])) == (f"{address}/rerank", body)
    assert "secret" not in snippets[1] + snippets[2]
    statement = next(one for one in ast.parse(snippets[2]).body if isinstance(one, ast.Assign))
    assert ast.literal_eval(statement.value) == body

    marked = browser.evaluate("""import('/page/results.js').then(({ annotated, h }) => [...annotated('😀 in Bern', [
        { start: 5, end: 9, make: (word) => h('mark', null, word) }]).childNodes].map((node) => node.textContent))""")
    assert marked == ["😀 in ", "Bern", ""]

    _typed(browser, "text", "<img src=x onerror=alert(1)> no blank")
    browser.evaluate(RUN)
    browser.wait("document.querySelector('.problem')")
    assert "No mask in the text" in browser.evaluate(SAID)
    assert browser.evaluate("document.querySelectorAll('#result img').length") == 0

    browser.evaluate("location.hash = '#/ask/faq.csv'")
    browser.wait("document.querySelector('.sheet.talk')")
    for text, answer in (("When do you open?", "At ten."), ("Who won the world cup?", "I don't know.")):
        _typed(browser, "text", text)
        browser.evaluate(RUN)
        browser.wait(f"{SAID}.includes({json.dumps(answer)})")

    browser.evaluate("""{ const real = window.fetch; window.fetch = () => { window.fetch = real;
        return Promise.resolve(new Response('{"message": "x"}', { status: 429, headers: { 'retry-after': '1' } })); }; }""")
    _typed(browser, "text", "May I bring a dog?")
    browser.evaluate(RUN)
    browser.wait(f"{SAID}.includes('The server is busy')")
    assert browser.evaluate("document.querySelector('.problem button').disabled")
    browser.wait("!document.querySelector('.problem button').disabled")
    browser.evaluate("document.querySelector('.problem button').click()")
    browser.wait(f"{SAID}.includes('No.')")

    assert all(one.startswith(address) for one in browser.requested if not one.startswith("about:"))
    assert [one for one in browser.errors if "401" not in one and "422" not in one] == []


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_window_nor_without_a_name(address, browser, width):
    browser.send("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=width < 500)
    browser.open(address + "/")
    browser.wait("document.getElementById('key-dialog')?.open")
    browser.evaluate("sessionStorage.setItem('litebert-key', 'secret')")
    for place in (f"{GENERAL}/coherence", f"{VECTORS}/embed", "ask/faq.csv"):
        browser.open("about:blank")
        browser.open(f"{address}/#/{place}")
        browser.wait("document.getElementById('sheet') && !document.getElementById('sheet').hidden")
        assert browser.evaluate("document.documentElement.scrollWidth") <= width
        unnamed = browser.evaluate("""[...document.querySelectorAll('button, input, textarea, select')].filter((one) =>
            !(one.labels?.length || one.getAttribute('aria-label') || one.textContent.trim())).map((one) => one.outerHTML)""")
        assert unnamed == []
