//! Step to Kubernetes objects. PURE: no client, no clock, no `async`.
