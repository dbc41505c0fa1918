//! /livez, /readyz and /metrics.
