"""``python -m headroom``: the command line, where its script is not on the path."""

from headroom.cli.main import main

if __name__ == "__main__":
    main()
