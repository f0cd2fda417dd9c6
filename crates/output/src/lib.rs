//! Text, CSV and JSON output of flowsuite.
