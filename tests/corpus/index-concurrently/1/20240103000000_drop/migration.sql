drop index concurrently if exists "Visit_state_idx"
