"""Every format in and out: our folder (= a Hugging Face folder), Google TensorFlow, TF-Hub, the hub."""
