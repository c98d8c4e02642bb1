"""Does the preference make answers better? Small vision-language models on easy-VQA."""
