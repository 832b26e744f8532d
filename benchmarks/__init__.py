"""Commands that print how fast and how good mvgen is, beside other tools in the same run."""
