"""Stands in for timm's validate.py: a script that makes models and trains none."""

import argparse

import torch
from timm.models import create_model
from timm.utils import ParseKwargs

parser = argparse.ArgumentParser(description="Stands in for timm's validate.py")
parser.add_argument("--model", default="vit_tiny_patch16_224")
parser.add_argument("--model-kwargs", nargs="*", default={}, action=ParseKwargs)
parser.add_argument("--torchscript", action="store_true")


def main():
    args = parser.parse_args()
    model = create_model(args.model, **args.model_kwargs).eval()
    tokens = []
    model.blocks[-1].mlp.register_forward_pre_hook(lambda module, inputs: tokens.append(inputs[0].shape[1]))
    with torch.inference_mode():
        model(torch.zeros(1, 3, 32, 32))
    print("tokens in the last MLP:", *tokens)


if __name__ == "__main__":
    main()
