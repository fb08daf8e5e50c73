"""The four tabs: Gradio's components around the functions of `pixelbayes.app`.

A tab keeps its components and nothing else: what a person has chosen or been told is passed in, or
lies in that person's `gr.State`.
"""
