"""The tables of bench/RESULTS.md: each module measures one subject and returns the text of its sections."""
