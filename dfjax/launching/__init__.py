"""One description of a job, handed to an engine that exists: nothing here schedules, queues or restarts by itself."""
