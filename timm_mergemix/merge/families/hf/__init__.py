"""Vision models of Hugging Face's transformers: one file a family. Imported once transformers' own module is."""
