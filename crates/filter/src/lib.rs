//! The filter language of flowsuite.
