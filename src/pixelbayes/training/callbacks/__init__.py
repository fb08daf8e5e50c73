"""What Lightning calls beside the steps: progress, records, an orderly stop."""
