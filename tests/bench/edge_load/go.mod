module sluice/edgeload

go 1.21
