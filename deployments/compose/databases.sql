-- Prefect and the journal each have a table `events`: two databases.
CREATE DATABASE journal;
