"""Token buckets over several scopes, their feedback and their bans. Arithmetic is pure; `permits` waits."""
