//! Read-only mapping of finished files.
