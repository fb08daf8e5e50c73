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


def theme() -> gr.themes.Base:
    """The theme of all components."""
    quiet, ink, accent = "#4b5563", "#1b1f24", "#0b5c93"
    quiet_dark, ink_dark, accent_dark = "#b3bac4", "#e9ecef", "#1f6fa8"
    return gr.themes.Base(
        primary_hue=gr.themes.colors.blue,
        neutral_hue=gr.themes.colors.gray,
        font=[gr.themes.Font(name) for name in FONTS],
        font_mono=[gr.themes.Font(name) for name in MONOSPACE],
        text_size=gr.themes.sizes.text_md,
        radius_size=gr.themes.sizes.radius_md,
    ).set(
        body_background_fill="#f6f7f9",
        body_background_fill_dark="#14181d",
        body_text_color=ink,
        body_text_color_dark=ink_dark,
        body_text_color_subdued=quiet,
        body_text_color_subdued_dark=quiet_dark,
        block_background_fill="#ffffff",
        block_background_fill_dark="#1c2128",
        block_border_color="#d5dae1",
        block_border_color_dark="#38414c",
        block_label_background_fill="#ffffff",
        block_label_background_fill_dark="#1c2128",
        block_label_text_color=quiet,
        block_label_text_color_dark=quiet_dark,
        block_label_text_weight="500",
        block_title_text_color=ink,
        block_title_text_color_dark=ink_dark,
        block_title_text_weight="500",
        block_info_text_color=quiet,
        block_info_text_color_dark=quiet_dark,
        block_shadow="none",
        input_border_width="1px",
        input_background_fill="#ffffff",
        input_background_fill_dark="#14181d",
        input_border_color="#8a94a1",
        input_border_color_dark="#6b7684",
        input_placeholder_color=quiet,
        input_placeholder_color_dark=quiet_dark,
        border_color_primary="#d5dae1",
        border_color_primary_dark="#38414c",
        button_primary_background_fill=accent,
        button_primary_background_fill_hover="#094a77",
        button_primary_background_fill_dark=accent_dark,
        button_primary_background_fill_hover_dark="#185a8a",
        button_primary_text_color="#ffffff",
        button_primary_text_color_dark="#ffffff",
        button_secondary_background_fill="#e4e8ee",
        button_secondary_background_fill_hover="#d5dbe4",
        button_secondary_background_fill_dark="#2b333d",
        button_secondary_background_fill_hover_dark="#39434f",
        button_secondary_text_color=ink,
        button_secondary_text_color_dark=ink_dark,
        slider_color=accent,
        slider_color_dark="#5aa7dc",
        checkbox_background_color_selected=accent,
        checkbox_background_color_selected_dark="#2f84bf",
        checkbox_border_color_selected=accent,
        checkbox_label_background_fill="#ffffff",
        checkbox_label_background_fill_dark="#1c2128",
        color_accent=accent,
        color_accent_soft="#dcebf6",
        color_accent_soft_dark="#21384b",
        link_text_color=accent,
        link_text_color_dark="#7cc0ee",
        loader_color=accent,
        loader_color_dark="#7cc0ee",
    )
