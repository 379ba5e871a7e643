"""`python -m nbflow ...`: the command line of this very interpreter's nbflow."""

from nbflow.cli.main import main

if __name__ == "__main__":
    main()
