"""Shapes and scenes in a browser, through viser.

What is shown (`things`), made small enough (`thin`), placed (`stage`), sent (`show`), steered (`panel`) and served
(`serve`). Only the last three speak to viser.
"""
