"""Does the preference improve answers? Compares small vision-language models on easy-VQA."""
