"""One file per outside technology; nothing else imports its SDK, and only our own errors leave it."""
