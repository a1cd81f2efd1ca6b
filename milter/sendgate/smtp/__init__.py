"""The SMTP side: the milter that Postfix talks to, and the processes it runs in."""
