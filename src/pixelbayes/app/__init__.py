"""The application: classify, create, complete and sort a folder of images in the browser.

Each tab is plain functions and a template (`classify`, `create`, `complete`, `folder`) that know
nothing of the browser; `page` wires them to Gradio's components and `server` serves them on this
machine.
"""
