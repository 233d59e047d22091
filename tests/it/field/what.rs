//! What was asked and how it ended: operations, objects, outcomes, changes; and what detections say of it.
