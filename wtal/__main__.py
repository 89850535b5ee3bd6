"""`python -m wtal`: the same as the `wtal` command."""

from wtal.cli import main

if __name__ == "__main__":
    main()
