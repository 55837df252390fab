"""Results for people: tables, charts, and pages of HTML and Markdown."""
