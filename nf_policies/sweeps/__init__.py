"""One command played over seeds and options, and what comes out by median, range and interquartile mean."""
