"""Vision models of Hugging Face's transformers: one file per family. Imported once transformers' own module is."""
