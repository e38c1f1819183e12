"""This project as a peer: the library's own function, lossless or (``lossy``) lossy.

It goes through the same protocol as every other, so that all are timed alike.
"""

import sys

import answering

import headroom


def main():
    is_lossy = "lossy" in sys.argv[1:]

    def compress(text):
        return headroom.compress_text(text, lossy=is_lossy).text

    form = "lossy" if is_lossy else "lossless"
    answering.serve(compress, name=form, version="this project")


if __name__ == "__main__":
    main()
