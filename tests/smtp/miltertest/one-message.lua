-- Shows: a good and a suppressed recipient; the gate is out of the message at DATA
-- Listed: hard_bounce user@example.com
-- Counted: spring pass none 2
-- Counted: spring reject hard_bounce 1
-- Messages: spring 1
conn = connect()
mail(conn, "<bounce+spring@x.test>", "SIZE=100", "RET=HDRS")
accepted(conn, "<anna@example.com>")
refused(conn, "<user@example.com>")
accepted(conn, "<ben@example.com>")
sent(mt.data(conn))
replied(conn, SMFIR_ACCEPT)
mt.disconnect(conn)
