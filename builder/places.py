"""Paths that a manifest can add to an image, checked by the manifest and by the assembly."""

from __future__ import annotations

import os
import re

ROOTS = ("usr", "etc")
# what Linux takes: NAME_MAX, and PATH_MAX without the final zero and the builder's own directories
MAX_NAME = 255
MAX_PATH = 3000


def path_problem(path: str) -> str:
    """Why a text is no plain absolute path, or an empty string."""
    if not path.startswith("/") or path.startswith("//") or os.path.normpath(path) != path:
        return "must be an absolute path without '.', '..' and double slashes"
    if re.search(r"[\s\x00-\x1f]", path):
        return "a path cannot contain white space"
    whole = path.encode("utf-8", "surrogatepass")
    if len(whole) > MAX_PATH or max(len(name) for name in whole.split(b"/")) > MAX_NAME:
        return f"a path has at most {MAX_PATH} bytes, and each name in it {MAX_NAME}"
    return ""


def place_problem(path: str) -> str:
    """Why an image has no place for a file, or an empty string."""
    if problem := path_problem(path):
        return problem
    first, _, rest = path[1:].partition("/")
    if first == "var":
        return "/var belongs to the machine; use tmpfiles.d (`C`, `f`) to create the file at boot"
    if first not in ROOTS or not rest:
        return "only files below /usr and /etc are part of an image"
    return ""
