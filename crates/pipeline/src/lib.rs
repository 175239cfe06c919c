//! Intake, guide and rate as synchronous state machines over batches.
