-- Shows: at end of message a discarded recipient is deleted and the message of a held one quarantined
-- Settings: fates
-- Listed: manual held@example.com
-- Listed: role office@example.com
-- Counted: spring hold manual 1
-- Counted: spring discard role 2
-- Counted: spring pass none 1
-- Messages: spring 2
conn = connect()
mail(conn, "<a@x.test>", "ENVID=spring")
accepted(conn, "<held@example.com>")
accepted(conn, "<Office@example.com>")
sent(mt.data(conn))
replied(conn, SMFIR_CONTINUE)
sent(mt.header(conn, "Subject", "test"))
sent(mt.eoh(conn))
replied(conn, SMFIR_CONTINUE)
sent(mt.eom(conn))
if not mt.eom_check(conn, MT_RCPTDELETE, "<Office@example.com>") then error("not deleted") end
if not mt.eom_check(conn, MT_QUARANTINE) then error("not held") end
-- the next message of the connection has none of it
mail(conn, "<a@x.test>", "ENVID=spring")
accepted(conn, "<office@example.com>")
accepted(conn, "<anna@example.com>")
sent(mt.data(conn))
sent(mt.eoh(conn))
sent(mt.eom(conn))
if not mt.eom_check(conn, MT_RCPTDELETE, "<office@example.com>") then error("not deleted") end
if mt.eom_check(conn, MT_QUARANTINE) then error("held") end
mt.disconnect(conn)
