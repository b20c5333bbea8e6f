"""`smallfleet simulate`: thousands of virtual devices in one process against a real server.

The server is real and so is every byte that is asked of it: HTTP over loopback or a network, by the agent's own client. A virtual
device decides, numbers its events, words its sayings, waits and backs off by the agent's own code (`agent.decide`, `agent.record`,
`agent.poll`, `agent.delivery`, `agent.backoff`). What is made up is what a device is made of: its disk holds digests instead
of files, its link is arithmetic, its models run in no time at all, and its clock goes as fast as the server answers.
"""
