"""Release room: what a build says about its own results, and what is signed of them."""
