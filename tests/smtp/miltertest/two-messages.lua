-- Shows: two messages on one connection, of two campaigns; the first ends at DATA, the second at end of header
-- Listed: unsubscribe scope=campaign:spring user@example.com
-- Counted: spring reject unsubscribe 1
-- Counted: spring pass none 1
-- Counted: winter pass none 1
-- Messages: spring 1
-- Messages: winter 1
conn = connect()
mail(conn, "<a@x.test>", "ENVID=spring")
refused(conn, "<user@example.com>")
accepted(conn, "<anna@example.com>")
sent(mt.data(conn))
replied(conn, SMFIR_ACCEPT)
mail(conn, "<a@x.test>")
accepted(conn, "<user@example.com>")
sent(mt.data(conn))
replied(conn, SMFIR_CONTINUE)
sent(mt.header(conn, "Subject", "test"))
sent(mt.header(conn, "x-campaign-id", "winter"))
sent(mt.eoh(conn))
replied(conn, SMFIR_ACCEPT)
mt.disconnect(conn)
