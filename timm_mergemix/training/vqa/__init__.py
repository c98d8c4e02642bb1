"""Questions about images: a small vision-language model, trained with and without the preference."""
