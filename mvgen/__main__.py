"""``python -m mvgen``."""

from mvgen.cli.main import main

if __name__ == "__main__":
    main()
