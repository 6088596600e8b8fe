"""An installation as a team has it: `bakewell up`, its parts, and what happens when they are killed."""
