"""Speed and accuracy beside what a user would write otherwise; `python -m benchmarks` prints ratios."""
