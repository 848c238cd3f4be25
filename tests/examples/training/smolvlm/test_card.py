"""The card says what was measured, and calls usable only what is."""

from __future__ import annotations

from examples.training.smolvlm.card import card
from examples.training.smolvlm.model import config

ROW = {
    "usual": 0.9,
    "usual_clear": 0.95,
    "others": 0.8,
    "unseen": 0.7,
    "dual": 0.6,
    "detected": 0.5,
    "dual_detected": 0.25,
}
FIGURES = {
    "line": {"scenes_per_fault": 24, "normal_scenes": 96, "faults": {"rust": ROW, "dent": ROW | {"usual": 0.55}}, "mean": ROW},
    "held_out_pairs": {"gear with crack": 0.512},
    "resolutions": {"256": {"faults": {"rust": 0.9}, "mean": 0.9, "frame_ms": 12.34}},
}  # fmt: skip


def test_the_card_tells_the_figures() -> None:
    """Every table has its row, weak faults are named as weak, and the texts stand where they belong."""
    text = card(
        config(600).to_dict(), FIGURES, {"training": "two hours", "site": "### Site\nall well"}, 9_000_000, 4_500_000
    )
    assert "| rust | 0.900 | 0.950 | 0.800 | 0.700 | 0.600 | 0.500 | 0.250 |" in text
    assert "gear with crack 0.512" in text
    assert "| 256 | 12.3 | 0.900 | 0.90 |" in text
    assert "**Usable by question alone** (AUROC at least 0.85): rust. **Not usable by question alone**: dent." in text
    assert "two hours" in text
    assert text.index("### Site") > text.index("### Tower resolution")
    assert "4.50 M; `model.safetensors` in float16, 9.0 MB" in text
