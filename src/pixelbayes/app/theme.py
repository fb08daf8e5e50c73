"""How the page looks: system fonts, two inks, light and dark.

Nothing is fetched from elsewhere.  Text has a contrast of at least 4.5 to 1 on its background in
both modes (WCAG 2.2, AA); pictures of few pixels are enlarged without smoothing.
"""

from __future__ import annotations

from pathlib import Path

import gradio as gr

__all__ = ["CSS", "HEAD", "SCRIPT", "theme"]

FONTS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "DejaVu Sans", "sans-serif")
MONOSPACE = ("ui-monospace", "SFMono-Regular", "Menlo", "DejaVu Sans Mono", "monospace")
CSS = (Path(__file__).parent / "templates" / "page.css").read_text(encoding="utf-8")
SCRIPT = (Path(__file__).parent / "templates" / "page.js").read_text(encoding="utf-8")

HEAD = """<style>
@media (max-width: 520px) { .gradio-container .main.fillable { padding: 1rem .8rem !important; } }
</style>"""
"""Of what lies around the components, which Gradio keeps `CSS` from."""

ACCENT = "#0b5c93"


def theme() -> gr.themes.Base:
    """The theme of all components."""
    ink, quiet, link = ("#1b1f24", "#e9ecef"), ("#4b5563", "#b3bac4"), (ACCENT, "#7cc0ee")
    paper, line = ("#ffffff", "#1c2128"), ("#d5dae1", "#38414c")
    light_and_dark = {
        "body_background_fill": ("#f6f7f9", "#14181d"),
        "body_text_color": ink,
        "body_text_color_subdued": quiet,
        "block_background_fill": paper,
        "block_border_color": line,
        "block_label_background_fill": paper,
        "block_label_text_color": quiet,
        "block_title_text_color": ink,
        "block_info_text_color": quiet,
        "input_background_fill": ("#ffffff", "#14181d"),
        "input_border_color": ("#8a94a1", "#6b7684"),
        "input_placeholder_color": quiet,
        "border_color_primary": line,
        "button_primary_background_fill": (ACCENT, "#1f6fa8"),
        "button_primary_background_fill_hover": ("#094a77", "#185a8a"),
        "button_primary_text_color": ("#ffffff", "#ffffff"),
        "button_secondary_background_fill": ("#e4e8ee", "#2b333d"),
        "button_secondary_background_fill_hover": ("#d5dbe4", "#39434f"),
        "button_secondary_text_color": ink,
        "slider_color": (ACCENT, "#5aa7dc"),
        "checkbox_background_color_selected": (ACCENT, "#2f84bf"),
        "checkbox_label_background_fill": paper,
        "color_accent_soft": ("#dcebf6", "#21384b"),
        "link_text_color": link,
        "loader_color": link,
    }
    return gr.themes.Base(
        primary_hue=gr.themes.colors.blue,
        neutral_hue=gr.themes.colors.gray,
        font=[gr.themes.Font(name) for name in FONTS],
        font_mono=[gr.themes.Font(name) for name in MONOSPACE],
        text_size=gr.themes.sizes.text_md,
        radius_size=gr.themes.sizes.radius_md,
    ).set(
        **{name: light for name, (light, _) in light_and_dark.items()},
        **{f"{name}_dark": dark for name, (_, dark) in light_and_dark.items()},
        block_label_text_weight="500",
        block_title_text_weight="500",
        block_shadow="none",
        input_border_width="1px",
        checkbox_border_color_selected=ACCENT,
        color_accent=ACCENT,
    )
