module busted.test/go_chat

go 1.19
