"""idsweep: intrinsic dimension of language-model representations over sweeps."""
