-- What is known of a distribution beside where it is: tags as a JSON array, times as RFC 3339.
ALTER TABLE export_distributions ADD COLUMN tags TEXT NOT NULL DEFAULT '[]';
ALTER TABLE export_distributions ADD COLUMN locked_until TEXT;
ALTER TABLE export_distributions ADD COLUMN pruned_at TEXT;
