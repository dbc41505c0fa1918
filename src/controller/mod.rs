//! The controller: observe, validate, plan, act, report.
