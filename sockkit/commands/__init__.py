"""The four commands: each module has its plan (what the command line can say) and ``run(plan, env) -> Exit``."""
