"""What users see passes mypy --strict."""

from pathlib import Path

import pytest


def test_the_public_face_is_typed() -> None:
    api = pytest.importorskip("mypy.api")
    face = str(Path(__file__).parent / "face.py")
    # Without our own settings; errors inside the package are the lint's business.
    options = ["--strict", "--config-file=", "--follow-imports=silent", "--ignore-missing-imports"]
    out, err, code = api.run([*options, face])
    assert code == 0, out + err
